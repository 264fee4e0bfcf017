var menuReady = true;
