local t = {}
for i = 1, 3000 do t[i] = function() while true do end end end
return function()
  while true do
    pcall(table.sort, t, pcall)
  end
end
