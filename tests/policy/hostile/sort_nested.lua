local function nest()
  table.sort({ 3, 2, 1 }, function(a, b) nest() return a < b end)
end
return function()
  nest()
end
