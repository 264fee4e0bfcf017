return function(req, push)
  push.add(req, "/a.css")
end
