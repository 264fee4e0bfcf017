return function(_, push)
  push.add({}, "/a.css")
end
