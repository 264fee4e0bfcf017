-- The least that a policy can be: a function that proposes.
return function(req, push)
  push:add("/assets/site.css")
  if req.path == "/" then
    push:add("/assets/hero.webp", { urgency = 5, why = "above the fold" })
  end
end
