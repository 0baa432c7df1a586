"""Fresh copies of the repository, to run the line in as a user does."""

import base64
import os
import re
import shutil
import subprocess
import sys

import yaml

from pipeline.paths import ROOT


def clone(folder, profile="smoke", models=()):
    """A copy of what git tracks, or would, as a repository of its own.

    Args:
      folder: where.
      profile: of params.yaml.
      models: those of params.yaml that are kept; none named: all.
    """
    listed = run(ROOT, "git", "ls-files", "-co", "--exclude-standard", "-z").stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # Compiled functions, lest each copy spends a minute on compiling them anew.
    for path in [*ROOT.glob("pipeline/**/*.nbi"), *ROOT.glob("pipeline/**/*.nbc")]:
        (folder / path.relative_to(ROOT)).parent.mkdir(exist_ok=True)
        shutil.copy2(path, folder / path.relative_to(ROOT))
    (folder / "dvc.lock").unlink(missing_ok=True)  # it is of another profile
    edit(folder, r"^profile: \w+", f"profile: {profile}")
    if models:
        _keep_models(folder / "params.yaml", models)
    run(folder, "git", "init", "-q")
    commit(folder, "clone")
    return folder


def models_of_each_kind():
    """The first model of each recipe in params.yaml, and what stands on the maps.

    Between the others what differs is numbers.
    """
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    models, maps = settings["models"], settings["maps"]
    kept = {block["recipe"]: name for name, block in reversed(models.items())}.values()
    kept = {*kept, maps["picture_network"], maps["gan"], *maps["encoders"]}
    return [name for name in models if name in kept]


def _keep_models(path, models):
    """Leaves out the text of the other models' blocks, with the comments above them."""
    head, body, tail = re.split(r"(?ms)^models:\n(.*?)(?=^\S|\Z)", path.read_text(), maxsplit=1)
    blocks = re.findall(r"(?ms)((?:^  #[^\n]*\n)*^  (\w+):\n(?:^    [^\n]*\n|^\n)*)", body)
    kept = "".join(text for text, name in blocks if name in models)
    path.write_text(f"{head}models:\n{kept}\n{tail}")


def commit(folder, message):
    who = ("-c", "user.name=t", "-c", "user.email=t@t")
    run(folder, "git", "add", "-A")
    run(folder, "git", *who, "commit", "-qm", message)


def edit(folder, pattern, replacement):
    """Replaces what matches once in params.yaml."""
    path = folder / "params.yaml"
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.M)
    assert count == 1, pattern
    path.write_text(text)


def environment(**more):
    dropped = ("MLFLOW_", "DVC_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    # Not resolved: the interpreter's own directory is that of the virtual environment.
    return kept | {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"} | more


def run(folder, *command, check=True, **more):
    result = subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, check=False
    )
    assert not check or result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


def repro(folder, *arguments):
    """Runs `dvc repro`; gives the stages that ran."""
    text = run(folder, "dvc", "repro", *arguments).stdout
    return set(re.findall(r"^Running stage '([^']+)'", text, re.M))


def is_seen_by_snakemake(work, path):
    """Whether Snakemake has seen the job end that made a file; else it makes it again."""
    name = base64.b64encode(str(path.relative_to(work)).encode()).decode()
    return path.exists() and not (work / ".snakemake/incomplete" / name).exists()
