document.getElementById("toc").hidden = false;
