return function()
  error()
end
