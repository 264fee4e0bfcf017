return {
  { "every page gets the style", request = "/about", push = { "/assets/site.css" } },
  { "the front page gets its picture too", push = { "/assets/site.css", "/assets/hero.webp" } },
}
