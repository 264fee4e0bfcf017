import { h } from "vendor";
import { route } from "router";

const place = h("span");
place.textContent = route();
document.querySelector(".splash").append(place);
fetch("/app/data/session.json").then((answer) => answer.json()).then((session) => {
  place.title = session.user;
});
