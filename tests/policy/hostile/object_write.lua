return function(req)
  req.path = "/admin"
end
