"""A notebook as data scientists write them goes on from its failed cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.nbrun.conftest import code, execute, save

CELLS = [
    "%matplotlib inline\nimport numpy as np, pandas as pd, matplotlib.pyplot as plt\n"
    "from sklearn.ensemble import RandomForestRegressor\n"
    "from sklearn.model_selection import train_test_split\n"
    "from sklearn.pipeline import make_pipeline\n"
    "from sklearn.preprocessing import StandardScaler",
    "rng = np.random.default_rng(0)\n"
    "df = pd.DataFrame({'x': rng.normal(size=500), 'g': rng.choice(list('abc'), 500)})\n"
    "df['y'] = df.x * 2 + rng.normal(size=500)\ndf.head(2)",
    "fig, ax = plt.subplots(figsize=(1, 1))\nax.scatter(df.x, df.y)\nplt.show()",
    "X, X_test, y, y_test = train_test_split(df[['x']], df.y, random_state=0)\n"
    "pipe = make_pipeline(StandardScaler(), RandomForestRegressor(5, random_state=0))\n"
    "pipe.fit(X, y)\nscore = pipe.score(X_test, y_test)\nprint(f'{score:.6f}')",
    "groups = df.groupby('g')\nmeans = groups.y.mean()\nmeans.round(3).to_dict()",
]
#: Imports where they are needed, in cells that take long.
LATE = [
    "import os, warnings\nwarnings.filterwarnings('ignore')\nos.environ['MODE'] = 'fast'",
    "import numpy as np\nfrom sklearn.ensemble import RandomForestClassifier\n"
    "X = np.random.default_rng(0).normal(size=(200, 2)); y = (X.sum(1) > 0).astype(int)\n"
    "model = RandomForestClassifier(5, random_state=0)\nmodel.fit(X, y)",
    "from sklearn.metrics import accuracy_score\naccuracy = accuracy_score(y, model.predict(X))\n"
    "accuracy",
    "import torch\nfrom torch import nn\ntorch.manual_seed(0)\nnet = nn.Linear(2, 2)\n"
    "optimizer = torch.optim.Adam(net.parameters(), lr=0.01)\n"
    "inputs, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y)\n"
    "def train():\n    optimizer.zero_grad()\n"
    "    loss = nn.functional.cross_entropy(net(inputs), targets)\n"
    "    loss.backward()\n    optimizer.step()\n    return loss.item()\n"
    "for _ in range(3): last = train()\nlast",
    "net",
]
GOES_ON = """
assert (last, accuracy) == (_4, _3) and _2 is model and _ == 2
print(train(), torch.rand(1).item(), net.weight.tolist(), model.predict_proba(X)[7].tolist())
"""
CHECK = """
again = pipe.score(X_test, y_test)
assert again == score and len(list(groups)) == 3 and groups.obj is df
print(means.equals(groups.y.mean()), f'{again:.6f}')
"""


def test_frames_and_models_are_restored_and_only_imports_and_figures_are_made_again(
    tmp_path: Path,
) -> None:
    path = save(tmp_path / "nb.ipynb", *map(code, [*CELLS, "1 / 0"]))
    given: dict[str, Any] = {"checkpoint": "always", "state_dir": tmp_path / "state"}
    failed = execute(path, **given)
    assert failed.statuses() == ["completed"] * 5 + ["failed"]
    save(path, *map(code, [*CELLS, CHECK]))
    mended = execute(path, resume=True, **given)
    assert mended.error is None
    # A figure draws into its kernel, and is drawn again; a forest is not grown again.
    again = ["completed", "restored", "completed", "restored", "restored", "completed"]
    assert mended.statuses() == again, mended.notebook.metadata.mlflowkit
    assert mended.printed(3) == failed.printed(3)
    assert mended.printed(5) == f"True {failed.printed(3)}"


def test_cells_that_import_their_libraries_and_fit_are_restored_too(tmp_path: Path) -> None:
    path = save(tmp_path / "nb.ipynb", *map(code, [*LATE, f"{GOES_ON}\n1 / 0"]))
    given: dict[str, Any] = {"checkpoint": "always", "state_dir": tmp_path / "state"}
    failed = execute(path, **given)
    assert (failed.statuses()[-2:], failed.error.ename) == (
        ["completed", "failed"],
        "ZeroDivisionError",
    )
    save(path, *map(code, [*LATE, GOES_ON]))
    mended = execute(path, resume=True, **given)
    assert mended.error is None
    again = ["completed", *["restored"] * 4, "completed"]
    assert mended.statuses() == again, mended.notebook.metadata.mlflowkit
    assert mended.printed(5) == failed.printed(5)
