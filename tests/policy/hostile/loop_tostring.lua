local t
t = setmetatable({}, { __tostring = function() return string.format("%s", t) end })
return function()
  return tostring(t)
end
