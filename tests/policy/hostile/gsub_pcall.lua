local s = ("a"):rep(200000)
return function()
  while true do
    s:gsub("a", pcall)
  end
end
