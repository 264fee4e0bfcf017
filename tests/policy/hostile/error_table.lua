return function()
  error({})
end
