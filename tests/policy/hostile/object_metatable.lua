return function(req)
  getmetatable(req).__index = nil
end
