"""What programs log, by name: values, and what their owner does to them right after the call.

A program of its own: it logs all of them twice, with W&B alone and patched. Needs no test library.
"""

import contextlib
import datetime
import decimal
import enum
import json
import os
import struct
import sys
import wave
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import wandb

from otel_wandb_bridge.wandb_step_fix import finalize_wandb_logging, patch_wandb_log

CASES = {}


def case(function):
    """A function that returns the values, and maybe what happens to them after the call."""
    CASES[function.__name__] = function
    return function


class Level(enum.IntEnum):
    LOW = 1


class Words(str):
    pass


def nothing():
    pass


# Scalars and text


@case
def numbers():
    return {"a": 1.5, "b": -7, "c": 0.0, "d": -0.0, "e": 1e308, "f": 5e-324, "g": 2**53 + 1, "h": 1 / 3}


@case
def huge_integers():
    return {"a": 2**63 - 1, "b": 2**80, "c": -(2**63)}


@case
def not_finite():
    return {"a": float("nan"), "b": float("inf"), "c": float("-inf")}


@case
def truth_and_none():
    return {"a": True, "b": False, "c": None}


@case
def text():
    return {"a": "", "b": "línea\n☃ \U0001f600", "c": "x" * 5000, "d": Words("words")}


@case
def numpy_scalars():
    return {
        "a": np.float32(0.1),
        "b": np.float16("nan"),
        "c": np.int64(5),
        "d": np.bool_(True),
        "e": np.float64(2.5),
        "f": np.array(3.5),
        "g": np.array(4),
        "h": np.uint8(255),
    }


@case
def odd_scalars():
    return {"a": Level.LOW, "b": np.str_("words"), "c": b"bytes"}


@case
def bytes_that_are_text():
    changed = [b"x", "y", 1]
    values = {"a": b"bytes", "b": changed, "c": {"d": b"z", "e": [[b"x"], {"f": None}]}}
    return values, changed.clear


@case
def decimals():
    return {"a": decimal.Decimal("1.25")}


@case
def dates():
    return {"a": datetime.datetime(2026, 1, 2, 3, 4, 5), "b": datetime.date(2026, 1, 2)}


@case
def odd_keys():
    return {"a.b": 1, "a/b": 2, " ": 3, "_private": 4, "ü": 5, "a b*": 6}


# Containers


@case
def arrays_changed_later():
    small, large, grid = np.arange(5.0), np.arange(1000.0), np.ones((2, 3))

    def after():
        small[:] = 99
        large[:] = 99
        grid[:] = 99

    return {"small": small, "large": large, "grid": grid, "ints": np.arange(4), "none": np.array([])}, after


@case
def arrays_that_are_not_finite():
    return {"a": np.array([1.0, np.nan, np.inf]), "b": np.array([True, False])}


@case
def lists_changed_later():
    flat, deep = [1, 2.5, "x", None], [[1], [2, [3]]]

    def after():
        flat.append(9)
        deep[1][1].append(9)

    return {"flat": flat, "deep": deep, "none": [], "pair": (1, 2)}, after


@case
def ranges():
    return {"a": range(3)}


@case
def lists_of_dicts():
    rows = [{"x": 1}, {"y": [1, 2]}]
    return {"a": rows, "b": {"rows": rows}}, lambda: rows[0].update(x=9, z=9)


@case
def lists_with_arrays():
    array = np.arange(3)
    return {"a": [array, 1], "b": [np.float32(0.5), np.int64(3)]}, lambda: array.fill(9)


@case
def dicts_changed_later():
    deep = {"x": {"y": 1, "z": {"w": 2}}, "list": [1]}

    def after():
        deep["x"]["y"] = 9
        deep["x"]["z"]["w"] = 9
        deep["new"] = 9
        deep["list"].append(9)

    return {"deep": deep, "empty": {}}, after


@case
def the_dict_itself_changed_later():
    values = {"a": 1, "b": {"c": 1}}
    return values, lambda: (values.clear(), values.update(a=9))


@case
def a_dict_of_numbers_changed_later():
    values = {"a": 1, "b": 2.5}
    return values, lambda: (values.clear(), values.update(a=9))


@case
def odd_dicts():
    return {"a": OrderedDict(x=1), "b": defaultdict(int, y=2), "c": {"deep": OrderedDict(z=3)}}


@case
def dicts_with_other_keys():
    return {"a": {1: 2, "x": 3}}


@case
def dicts_with_values_of_every_kind():
    return {"a": {"n": np.float32(0.5), "i": np.arange(3), "s": "x", "nan": float("nan"), "l": [1]}}


# Media


def pixels(shade=10):
    return np.full((4, 5, 3), shade, dtype=np.uint8)


def png(path):
    from PIL import Image

    Image.fromarray(pixels()).save(path)
    return path


@case
def image_of_an_array():
    __import__("PIL")
    data = pixels()
    return {"a": wandb.Image(data, caption="a caption")}, lambda: data.fill(200)


@case
def image_of_a_file_that_is_deleted():
    path = png("deleted.png")
    return {"a": wandb.Image(path)}, lambda: os.remove(path)


@case
def image_with_boxes_and_masks():
    __import__("PIL")
    box = {"position": {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4}, "class_id": 1}
    return {
        "a": wandb.Image(
            pixels(),
            boxes={"predictions": {"box_data": [box], "class_labels": {1: "cat"}}},
            masks={"truth": {"mask_data": np.ones((4, 5), dtype=np.uint8), "class_labels": {1: "cat"}}},
        )
    }


@case
def list_of_images():
    __import__("PIL")
    images = [wandb.Image(pixels(shade), caption=str(shade)) for shade in (1, 2, 3)]
    return {"a": images, "b": [wandb.Image(pixels(9))], "c": {"deep": [wandb.Image(pixels(8))]}}, images.clear


@case
def the_same_image_under_two_keys():
    __import__("PIL")
    image = wandb.Image(pixels(77))
    return {"a": image, "b": image}


@case
def list_of_media_of_two_kinds():
    __import__("PIL")
    return {"a": [wandb.Image(pixels()), wandb.Html("<b>x</b>")]}


@case
def images_in_a_dict():
    __import__("PIL")
    return {"a": {"b": {"c": wandb.Image(pixels(33))}, "d": 1}}


@case
def html():
    Path("page.html").write_text("<i>page</i>")
    return {"a": wandb.Html("<b>text</b>"), "b": wandb.Html("page.html")}, lambda: os.remove("page.html")


@case
def html_in_lists():
    return {"a": [wandb.Html("<b>1</b>"), wandb.Html("<b>2</b>")]}


@case
def audio():
    path = "sound.wav"
    with wave.open(path, "wb") as sound:
        sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(8000)
        sound.writeframes(struct.pack("<4h", 0, 1000, 0, -1000))
    return {"a": wandb.Audio(path, caption="beep")}, lambda: os.remove(path)


@case
def audio_of_an_array():
    __import__("soundfile")
    data = np.zeros(100, dtype=np.float32)
    return {"a": wandb.Audio(data, sample_rate=8000)}, lambda: data.fill(1)


@case
def video():
    path = Path("clip.gif")
    path.write_bytes(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;")
    return {"a": wandb.Video(str(path), format="gif")}, path.unlink


@case
def points():
    data = np.arange(9.0).reshape(3, 3)
    return {"a": wandb.Object3D(data)}, lambda: data.fill(9)


@case
def molecule():
    Path("m.pdb").write_text("HEADER\n")
    return {"a": wandb.Molecule("m.pdb")}, lambda: os.remove("m.pdb")


@case
def histograms():
    data = np.arange(50.0)
    return {
        "a": wandb.Histogram(data),
        "b": wandb.Histogram(np_histogram=np.histogram(data, bins=4)),
        "c": wandb.Histogram([1, 2, 2, 3], num_bins=3),
    }, lambda: data.fill(9)


# Tables and charts


def table_to_be_logged_again():
    try:
        return wandb.Table(columns=["x"], data=[[1]], log_mode="MUTABLE")
    except TypeError:  # older versions have no modes
        return wandb.Table(columns=["x"], data=[[1]])


@case
def table():
    return {"a": wandb.Table(columns=["x", "y"], data=[[1, "one"], [2, None]])}


@case
def table_that_grows_later():
    grows = wandb.Table(columns=["x"], data=[[1]])
    return {"a": grows}, lambda: grows.add_data(2)


@case
def table_that_may_be_logged_again():
    grows = table_to_be_logged_again()
    return {"a": grows}, lambda: grows.add_data(2)


@case
def table_with_images():
    __import__("PIL")
    return {"a": wandb.Table(columns=["i"], data=[[wandb.Image(pixels(5))]])}


@case
def table_of_arrays():
    return {"a": wandb.Table(columns=["x"], data=[[np.arange(3)], [[1, 2]]], allow_mixed_types=True)}


@case
def two_tables_in_a_dict():
    return {"a": {"b": wandb.Table(columns=["x"], data=[[1]]), "c": wandb.Table(columns=["y"], data=[[2]])}}


@case
def data_frame():
    import pandas

    frame = pandas.DataFrame({"x": [1, 2], "y": [0.5, None], "z": ["a", "b"]})

    def after():
        frame.loc[0, "x"] = 9
        frame["new"] = 9

    return {"a": frame}, after


@case
def data_frame_in_a_table():
    import pandas

    frame = pandas.DataFrame({"x": [1, 2]})
    return {"a": wandb.Table(dataframe=frame)}, lambda: frame.pop("x")


@case
def series():
    import pandas

    return {"a": pandas.Series([1.0, 2.0])}


def curve():
    return wandb.Table(columns=["x", "y"], data=[[1, 2.0], [2, 3.0]])


@case
def line_chart():
    return {"a": wandb.plot.line(curve(), "x", "y", title="line")}


@case
def bar_chart():
    return {"a/b": wandb.plot.bar(wandb.Table(columns=["l", "v"], data=[["p", 1]]), "l", "v", title="bar")}


@case
def other_charts():
    return {
        "scatter": wandb.plot.scatter(curve(), "x", "y"),
        "histogram": wandb.plot.histogram(curve(), "x"),
        "series": wandb.plot.line_series([0, 1], [[1, 2], [3, 4]], keys=["p", "q"]),
        "confusion": wandb.plot.confusion_matrix(y_true=[0, 1], preds=[0, 0], class_names=["n", "p"]),
    }


@case
def chart_in_a_dict():
    return {"a": {"b": wandb.plot.line(curve(), "x", "y")}, "c": 1}


@case
def chart_beside_a_scalar():
    return {"loss": 0.5, "chart": wandb.plot.line(curve(), "x", "y")}


@case
def chart_whose_table_grows_later():
    grows = curve()
    return {"a": wandb.plot.line(grows, "x", "y")}, lambda: grows.add_data(9, 9.0)


@case
def visualize():
    return {"a": wandb.visualize("wandb/line/v0", curve())}


@case
def matplotlib_figure_changed_later():
    import matplotlib

    matplotlib.use("Agg")
    __import__("plotly")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([1, 2], [3, 4])
    return {"a": figure}, lambda: (axes.clear(), axes.plot([9, 9], [9, 9]), pyplot.close(figure))


@case
def matplotlib_figure_as_an_image():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if wandb.__version__.startswith("0.18."):
        raise ImportError("it does not find `PIL.Image` once Matplotlib has imported it")

    figure, axes = pyplot.subplots()
    axes.plot([1, 2], [3, 4])
    return {"a": wandb.Image(figure)}, lambda: (axes.clear(), pyplot.close(figure))


@case
def plotly_figure():
    import plotly.graph_objects

    figure = plotly.graph_objects.Figure(data=plotly.graph_objects.Scatter(x=[1, 2], y=[3, 4]))
    return {"a": figure, "b": wandb.Plotly(figure)}, lambda: figure.add_scatter(x=[9], y=[9])


@case
def an_object():
    return {"a": object(), "b": 1}


@case
def a_set():
    return {"a": {1, 2}}


def log_all(run):
    """Each case at a step of its own; returns what became of the calls."""
    became = {}
    for step, (name, make) in enumerate(CASES.items(), start=1):
        try:
            made = make()
        except ImportError as error:
            became[name] = f"missing: {error.name}"
            continue
        values, after = made if isinstance(made, tuple) else (made, nothing)
        try:
            became[name] = repr(run.log(values, step=step))
        except Exception as error:
            became[name] = f"{type(error).__name__}: {error}".partition(" at 0x")[0]
        after()
    return became


def log_twice_at(run):
    """The same objects again and again: with a step, without one, and held back by `commit=False`."""
    page, grows = wandb.Html("<b>again</b>"), table_to_be_logged_again()
    step = len(CASES) + 1
    for later in range(3):
        run.log({"page": page, "table": grows}, step=step + later)
        grows.add_data(later)
    page, table, bins = wandb.Html("<b>1</b>"), wandb.Table(columns=["x"]), wandb.Histogram([1, 2])
    for pair in (
        (page, table),
        (table, page),
        (page, wandb.Html("<b>2</b>")),
        (1, page),
        (page, 1),
        (bins, page),
    ):
        step += 1
        for value in pair:
            run.log({"twice": value, "nested": {"twice": value}}, step=step + 3)
    run.log({"nested": {"deep": {"x": 1, "y": [1]}}}, step=step + 4)
    run.log({"nested": {"deep": {"y": [2, 3]}}}, step=step + 4)
    chart, deep = wandb.plot.line(curve(), "x", "y"), {"html": wandb.Html("<b>kept</b>")}
    if wandb.__version__.startswith("0.18."):
        deep = {}  # it refuses a chart in a dict, and by itself announces the files beside it all the same
    values = {"kept": {"chart": chart, "deep": {**deep}}}
    with contextlib.suppress(TypeError):
        run.log(values, step=step + 5)
    is_kept = values == {"kept": {"chart": chart, "deep": deep}}
    run.log({"held": wandb.Html("<b>held</b>"), "part": 1}, commit=False)
    run.log({"alone": wandb.Html("<b>alone</b>")})
    run.log({"left": wandb.Html("<b>left</b>")}, commit=False)
    return is_kept


def main():
    for name in ("native", "patched"):
        if name == "patched":
            patch_wandb_log(flush_interval=3600.0)
        with wandb.init(project="drop-in", id=name, dir=".") as run:
            print(json.dumps({name: log_all(run)}))
            print(json.dumps({f"{name} leaves the values alone": log_twice_at(run)}))
            finalize_wandb_logging()
            print(json.dumps({f"{name} is written": True}))


if __name__ == "__main__":
    if sys.argv[1:] == ["--names"]:
        print(json.dumps([*CASES]))
    else:
        main()
