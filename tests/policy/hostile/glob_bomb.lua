local text = ("a"):rep(3000)
return function()
  while true do
    util.glob("*a*a*a*a*a*b", text)
  end
end
