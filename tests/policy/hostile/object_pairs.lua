return function(req)
  for _ in pairs(req.headers) do end
end
