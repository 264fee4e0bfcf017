return function()
  setmetatable("", {})
end
