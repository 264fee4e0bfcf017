local s = ("x"):rep(1000)
return function()
  while true do
    s:gsub("x", function(c) return c end)
  end
end
