local t = setmetatable({}, { __index = function(self, k) local v = self[k + 1] return v end })
return function()
  return nil, t[1]
end
