local function again()
  pcall(again)
end
return function()
  while true do
    pcall(again)
  end
end
