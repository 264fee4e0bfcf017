return function()
  local t = {}
  for i = 1, 40 do
    t[2 ^ i] = i
    for j = 1, 2 ^ i do t[j] = j end
  end
end
