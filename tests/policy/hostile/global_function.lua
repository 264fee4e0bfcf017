function on_request()
end
return on_request
