return function()
  setmetatable(string, { __index = {} })
end
