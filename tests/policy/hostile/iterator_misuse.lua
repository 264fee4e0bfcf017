return function(_, push)
  local step = push:each()
  step({}, nil)
end
