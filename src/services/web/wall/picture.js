/** A picture's own page: the arrow keys lead to the pictures beside it, and a press shows it over the whole window, then in full size. */
const frame = document.querySelector('.frame');

document.addEventListener('keydown', ({ key, target, altKey, ctrlKey, metaKey }) => {
  if (altKey || ctrlKey || metaKey || target.closest('input, textarea, select, dialog, .wall')) return;
  const rel = { ArrowLeft: 'prev', ArrowRight: 'next' }[key];
  if (rel) document.querySelector(`.more [rel=${rel}]`)?.click();
});

frame.addEventListener('click', (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const dialog = document.createElement('dialog');
  const close = document.createElement('button');
  close.textContent = 'Close';
  const image = new Image();
  image.src = frame.href;
  image.alt = frame.querySelector('img').alt;
  dialog.append(image, close);
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', ({ target, offsetX, offsetY }) => {
    if (target !== image) return dialog.close();
    const [x, y] = [offsetX / image.width, offsetY / image.height];
    image.classList.toggle('whole');
    // What was pressed stays in sight.
    dialog.scrollTo(x * image.width - innerWidth / 2, y * image.height - innerHeight / 2);
  });
  dialog.showModal();
});
