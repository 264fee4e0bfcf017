local kept = {}
return function()
  for i = 1, 1e9 do
    kept[i] = { i, tostring(i) }
  end
end
