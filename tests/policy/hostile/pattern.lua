local s = ("a"):rep(60)
local p = (".-"):rep(12) .. "b"
return function()
  return s:find(p)
end
