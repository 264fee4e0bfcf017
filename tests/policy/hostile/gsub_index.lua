local meta = {}
local t = setmetatable({}, meta)
meta.__index = function()
  return (("x"):gsub("x", t))
end
return function()
  return nil, t.x
end
