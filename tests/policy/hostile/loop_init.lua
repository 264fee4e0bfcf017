return {
  api = 1,
  init = function() while true do end end,
}
