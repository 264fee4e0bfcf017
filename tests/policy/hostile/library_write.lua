return function()
  string.format = nil
end
