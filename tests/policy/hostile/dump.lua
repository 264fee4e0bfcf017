return function()
  return nil, string.dump(function() end)
end
