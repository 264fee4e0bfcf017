return function()
  for i = 1, 1e6 do
    log.info("line", { i = i })
  end
end
