"""HTML player of a list of images, which needs no network."""

import base64
import hashlib
import io
import json
from string import Template
from typing import Any

# All formats that browsers display, with the options of Pillow that keep the files small.
FORMATS: dict[str, dict[str, Any]] = {
    "webp": {"quality": 80, "method": 4},
    "jpeg": {"quality": 85},
    "png": {"optimize": True},
}

# The controls are hidden until the script runs. Without JavaScript, only the last frame is shown.
_PLAYER = Template("""\
<div class="torchmlp-player" data-key="$key" style="display: inline-block; max-width: 100%">
  <img src="$last" alt="$description" style="display: block; max-width: 100%">
  <div style="display: none; gap: 0.5em; align-items: center; margin: 0.3em">
    <button type="button" style="min-width: 5em">Play</button>
    <button type="button">Back</button>
    <button type="button">Next</button>
    <input type="range" min="0" value="0" aria-label="Frame" style="flex: 1">
  </div>
</div>
<script>
(function () {
  const frames = $frames, interval = $interval, endPause = $end_pause;
  function start(player) {
    player.removeAttribute("data-key");
    const image = player.querySelector("img"), slider = player.querySelector("input");
    const [play, back, next] = player.querySelectorAll("button");
    const images = frames.concat(image.src);
    let current = 0, timer = null;
    function show(i) {
      current = (i + images.length) % images.length;
      image.src = images[current];
      slider.value = current;
    }
    function schedule() {
      const last = current === images.length - 1;
      timer = setTimeout(() => { show(current + 1); schedule(); }, last ? endPause : interval);
    }
    function pause() {
      clearTimeout(timer);
      timer = null;
      play.textContent = "Play";
    }
    function run() {
      play.textContent = "Pause";
      schedule();
    }
    play.onclick = () => timer === null ? run() : pause();
    back.onclick = () => { pause(); show(current - 1); };
    next.onclick = () => { pause(); show(current + 1); };
    slider.oninput = () => { pause(); show(Number(slider.value)); };
    slider.max = images.length - 1;
    slider.parentElement.style.display = "flex";
    show(0);
    if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) run();
  }
  // A notebook may run the script before it inserts the element.
  const key = '.torchmlp-player[data-key="$key"]';
  setTimeout(() => document.querySelectorAll(key).forEach(start), 0);
})();
</script>
""")


def html_player(images, *, interval, end_pause, image_format, description):
    """Return HTML with an animation, buttons and a slider. The images are embedded.

    Parameters
    ----------
    images : list of PIL.Image.Image
        The frames.
    interval, end_pause : float
        Milliseconds for which a frame and the last frame are shown.
    image_format : {"webp", "jpeg", "png"}
        Format of the embedded images.
    description : str
        Alternative text.

    Returns
    -------
    str
    """
    *frames, last = (_data_url(image, image_format) for image in images)
    key = hashlib.sha256("".join([*frames, last]).encode()).hexdigest()[:16]
    return _PLAYER.substitute(
        key=key,
        last=last,
        frames=json.dumps(frames, indent=0),
        interval=interval,
        end_pause=end_pause,
        description=description,
    )


def _data_url(image, image_format):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **FORMATS[image_format])
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{image_format};base64,{encoded}"
