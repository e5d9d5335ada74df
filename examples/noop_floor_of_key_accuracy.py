"""What a video in which nothing is done scores for its keys in GameWorld: 0.76, where Oasis is published at 0.77.

The benchmark (github.com/SkyworkAI/Matrix-Game, commit f1bf6e6) plays 76 action scripts of 64 scored frames: five keys,
attack or none, each alone and with eight camera moves, and 13 pairs of keys. An inverse dynamics model names the keys
of each frame; the score is the share of frames named rightly, "no key" included, averaged over four tasks. So a model
that always says "no key" is right wherever no key was pressed. Balanced accuracy, the mean over classes, shows it.
"""

from collections import Counter

FRAMES = 64
ATTACKS = 32  # of the 64 frames of a script with attack; other keys are held throughout
KEYS = ("", "forward", "back", "left", "right", "jump", "attack")
CAMERA = ("", "up", "down", "l", "r", "ul", "ur", "dl", "dr")
PAIRS = ["forward left", "forward right", "back left", "back right"]
PAIRS += [f"{key} jump" for key in ("forward", "back", "left", "right")]
PAIRS += [f"{key} attack" for key in ("forward", "back", "left", "right", "jump")]
SCRIPTS = [(key, move) for key in KEYS for move in CAMERA] + [(pair, "") for pair in PAIRS]
TASKS = {
    "back / forward": ("back", "forward"),
    "left / right": ("left", "right"),
    "attack": ("attack",),
    "jump": ("jump",),
}
PUBLISHED = {"Oasis": (0.77, 0.56), "MineWorld": (0.86, 0.64), "Matrix-Game": (0.95, 0.95)}


def frames_with(key: str) -> int:
    """Frames of all scripts in which the key is pressed."""
    held = ATTACKS if key == "attack" else FRAMES
    return sum(held for keys, _ in SCRIPTS if key in keys.split())


def floors() -> dict[str, float]:
    """Accuracy of "nothing pressed" in each task, their mean, the balanced mean, and that of "no camera move"."""
    total = FRAMES * len(SCRIPTS)
    out = {task: 1 - sum(map(frames_with, keys)) / total for task, keys in TASKS.items()}
    balanced = [1 / (len(keys) + 1) for keys in TASKS.values()]  # right in one class of each task, wrong in all others
    camera = Counter(move for _, move in SCRIPTS)
    return {
        **out,
        "keys": sum(out.values()) / len(out),
        "keys, balanced": sum(balanced) / len(balanced),
        "camera": camera[""] / len(SCRIPTS),
        "camera, balanced": 1 / len(CAMERA),
    }


if __name__ == "__main__":
    print(f"{len(SCRIPTS)} scripts; a model that says that nothing is pressed:")
    for name, value in floors().items():
        print(f"  {name:18} {value:.3f}")
    floor = floors()
    for model, (keys, camera) in PUBLISHED.items():
        skills = [(score - floor[n]) / (1 - floor[n]) for score, n in ((keys, "keys"), (camera, "camera"))]
        print(f"{model:12} keys {keys:.2f}, skill {skills[0]:.2f}; camera {camera:.2f}, skill {skills[1]:.2f}")
