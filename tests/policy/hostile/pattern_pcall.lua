local s = ("a"):rep(60)
local p = (".-"):rep(12) .. "b"
return function()
  while true do
    pcall(string.find, s, p)
  end
end
