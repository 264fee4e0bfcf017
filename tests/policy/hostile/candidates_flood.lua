return function(_, push)
  for i = 1, 200 do
    push:add("/" .. i .. ("x"):rep(1000))
  end
end
