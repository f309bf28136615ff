// What the ego cannot see, shaded.

function drawUnseen() {}
