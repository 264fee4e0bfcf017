window.soup_second = true;
