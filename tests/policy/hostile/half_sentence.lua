return {
  api = 1,
  on_request = function(req, push)
    push:add("/a