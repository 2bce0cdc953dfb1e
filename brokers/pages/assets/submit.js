// Presses the button of the page for those who have scripts.
document.getElementById("onward").submit();
