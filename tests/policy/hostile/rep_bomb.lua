return function()
  local s = ("x"):rep(1e9)
  return nil, s
end
