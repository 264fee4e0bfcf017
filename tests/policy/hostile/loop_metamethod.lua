local t = setmetatable({}, { __index = function(self, k) while true do local _ = k end end })
return function()
  return t.x
end
