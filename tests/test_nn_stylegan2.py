"""StyleGAN2's parts against their definitions: loops, numerical gradients, scipy, Pillow."""

import colorsys

import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import tensorflow as tf
from keras import ops
from PIL import Image

from pipeline.nn.pictures import augmentation, filters, modulated, stylegan2
from pipeline.nn.pictures.augmentation import AdaptiveAugmentation, Draws
from pipeline.nn.pictures.ema import WeightAverage
from pipeline.nn.pictures.regularisers import R1, PathLength
from pipeline.nn.pictures.trainer import PictureGan

WIDTHS = (6, 4)  # pictures of 8 x 8
LATENT, CONDITION, STYLE = 5, 3, 7


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)


@pytest.fixture
def float64():
    """Numerical gradients of gradients need more digits than training has."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def _normal(*shape):
    return np.random.default_rng(shape).standard_normal(shape).astype(keras.config.floatx())


def _array(x):
    return ops.convert_to_numpy(x)


def _generator(condition_size=CONDITION, **options):
    return stylegan2.StyleGenerator(WIDTHS, LATENT, condition_size, STYLE, 2, 0.1, **options)


def _discriminator(condition_size=CONDITION):
    return stylegan2.discriminator(WIDTHS, condition_size, 5, 1, 0.1)


def _with_strong_noise(generator):
    for variable in generator.trainable_variables:
        if variable.name == "strength":
            variable.assign(0.7)
    return generator


# Filters


def _taps():
    row = np.array(filters.TAPS) / sum(filters.TAPS)
    return np.outer(row, row)


def test_blurred_is_scipys_convolution():
    x = _normal(2, 5, 6, 3)
    found = _array(filters.blurred(x, 2, 1, gain=3.0))
    for picture, result in zip(x, found, strict=True):
        for channel in range(3):
            padded = np.pad(picture[..., channel], [(2, 1), (2, 1)])
            expected = 3 * scipy.signal.convolve2d(padded, _taps(), mode="valid")
            np.testing.assert_allclose(result[..., channel], expected, atol=1e-6)


def test_doubled_and_halved_are_scipys_upfirdn():
    x = _normal(1, 4, 6, 1)
    row = np.array(filters.TAPS) / sum(filters.TAPS)
    up, down = x[0, :, :, 0], x[0, :, :, 0]
    for axis in (0, 1):
        length = up.shape[axis]
        up = scipy.signal.upfirdn(2 * row, up, up=2, axis=axis)
        up = np.take(up, range(1, 2 * length + 1), axis=axis)
        down = scipy.signal.upfirdn(row, down, axis=axis)
        down = np.take(down, range(2, 2 + length, 2), axis=axis)
    np.testing.assert_allclose(_array(filters.doubled(x))[0, :, :, 0], up, atol=1e-6)
    np.testing.assert_allclose(_array(filters.halved(x))[0, :, :, 0], down, atol=1e-6)


# Modulated convolution


@pytest.mark.parametrize("is_doubling", [False, True])
@pytest.mark.parametrize("is_demodulated", [False, True])
def test_modulated_convolution_is_its_definition(is_doubling, is_demodulated):
    layer = modulated.ModulatedConv(4, 3, is_doubling, is_demodulated)
    x, w = _normal(3, 5, 5, 2), _normal(3, STYLE)
    found = _array(layer([x, w]))
    styles = w @ _array(layer.affine.kernel) / STYLE**0.5 + 1.0
    scale = 1 if is_demodulated else 1 / (9 * 2) ** 0.5
    for example in range(3):
        weights = scale * styles[example][None, None, :, None] * _array(layer.kernel)
        if is_demodulated:
            weights = weights / np.sqrt(np.square(weights).sum(axis=(0, 1, 2)) + 1e-8)
        expected = _convolved(x[example], weights, is_doubling)
        np.testing.assert_allclose(found[example], expected, atol=2e-5)


def _convolved(x, weights, is_doubling):
    """As a loop over places; where it doubles: zeros between, true convolution, then the blur."""
    height, width, _ = x.shape
    if not is_doubling:
        padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
        return np.array(
            [
                [
                    np.einsum("ijc,ijco->o", padded[row : row + 3, column : column + 3], weights)
                    for column in range(width)
                ]
                for row in range(height)
            ]
        )
    full = np.zeros((2 * height + 1, 2 * width + 1, weights.shape[-1]))
    for row in range(height):
        for column in range(width):
            part = np.einsum("c,ijco->ijo", x[row, column], weights)
            full[2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += part
    padded = np.pad(full, [(1, 1), (1, 1), (0, 0)])
    return np.stack([scipy.signal.convolve2d(c, 4 * _taps(), "valid") for c in padded.T]).T


def test_demodulation_keeps_the_deviation_whatever_the_style():
    layer = modulated.ModulatedConv(32, 3)
    x = _normal(2, 16, 16, 32)
    layer([x, _normal(2, STYLE)])
    weak, strong = (_array(layer.modulated(x, np.full((2, 32), s, "float32"))) for s in (0.1, 10))
    np.testing.assert_allclose(weak, strong, rtol=1e-3, atol=1e-4)
    assert strong[:, 2:-2, 2:-2].std() == pytest.approx(1, abs=0.05)


def test_equalized_layers_scale_weights_and_rates():
    dense = modulated.EqualDense(3, rate=0.01, bias=2.0)
    x = _normal(64, 100)
    found = _array(dense(x))
    np.testing.assert_allclose(_array(dense.bias) * 0.01, 2.0, rtol=1e-6)
    expected = x @ _array(dense.kernel) * 0.01 / 10 + 2.0
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert _array(dense.kernel).std() == pytest.approx(100, rel=0.15)


def test_halving_convolution_blurs_first():
    x = _normal(1, 6, 6, 2)
    layer = modulated.EqualConv(3, 3, is_halving=True, use_bias=False, gain=0.5)
    found = _array(layer(x))[0]
    kernel = _array(layer.kernel) * 0.5 / (9 * 2) ** 0.5
    padded = np.pad(x[0], [(2, 2), (2, 2), (0, 0)])
    smooth = np.stack([scipy.signal.convolve2d(c, _taps(), "valid") for c in padded.T]).T
    expected = np.array(
        [
            [np.einsum("ijc,ijco->o", smooth[r : r + 3, c : c + 3], kernel) for c in range(0, 6, 2)]
            for r in range(0, 6, 2)
        ]
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


# Networks


@pytest.mark.parametrize("condition_size", [0, CONDITION])
def test_networks_have_the_trainers_interface(condition_size):
    generator, discriminator = _generator(condition_size), _discriminator(condition_size)
    conditions = [tf.constant(_normal(4, condition_size))] if condition_size else []
    pictures = generator([tf.constant(_normal(4, LATENT)), *conditions])
    assert pictures.shape == (4, 8, 8, 3)
    assert discriminator([pictures, *conditions]).shape == (4,)


def test_latent_stands_for_one_picture_but_training_draws_noise():
    generator = _with_strong_noise(_generator())
    inputs = [_normal(4, LATENT), _normal(4, CONDITION)]
    first, second = (_array(generator(inputs)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(np.abs(first).max(), 1.0)  # cut
    styles = generator.styles(inputs)
    first, second = (_array(generator.synthesis(styles, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0.01


def test_truncation_pulls_styles_to_their_moving_mean():
    generator = _generator(mixing=0.0, mean_decay=0.9)
    inputs = [_normal(64, LATENT), _normal(64, CONDITION)]
    w = _array(generator.mapping(inputs))
    generator.styles(inputs, training=True)
    np.testing.assert_allclose(_array(generator.mean_style), 0.1 * w.mean(axis=0), atol=1e-6)
    generator.truncation = 0.0
    pictures = _array(generator(inputs))
    np.testing.assert_allclose(pictures, pictures[:1].repeat(64, 0), atol=1e-6)
    generator.truncation = 1.0
    assert _array(generator(inputs)).std(axis=0).mean() > 0.05


def test_mixing_takes_a_second_style_from_some_layer_on():
    generator = _generator(mixing=0.5)
    inputs = [tf.constant(_normal(400, LATENT)), tf.constant(_normal(400, CONDITION))]
    own = _array(generator.mapping(inputs))
    styles = _array(generator.styles(inputs, training=True))
    is_own = np.isclose(styles, own[:, None], atol=1e-6).all(axis=-1)
    assert is_own[:, 0].all()
    assert (np.diff(is_own.astype(int), axis=1) <= 0).all()  # no way back
    assert 1 - is_own.all(axis=1).mean() == pytest.approx(0.5, abs=0.1)
    crossings = is_own.sum(axis=1)[~is_own.all(axis=1)]
    assert {*crossings.tolist()} == {*range(1, generator.num_styles)}


def test_mapping_normalizes_latents_and_conditions_apart():
    generator = _generator()
    z, c = _normal(4, LATENT), _normal(4, CONDITION)
    first, second = (_array(generator.mapping([z * f, c * f])) for f in (1.0, 1000.0))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_deviation_of_groups_by_hand():
    x = np.zeros((4, 1, 2, 1), np.float32)
    x[:, 0, :, 0] = [[0, 1], [5, 5], [2, 5], [5, 5]]  # groups: 0 with 2, 1 with 3
    found = _array(stylegan2.deviation_of_groups(x, 2))
    assert found.shape == (4, 1, 2, 1)
    np.testing.assert_allclose(found[:, 0, 0, 0], [1.5, 0, 1.5, 0], atol=1e-3)
    np.testing.assert_allclose(found[:, 0, 0], found[:, 0, 1])


def test_logits_are_the_projection_alone():
    """With a condition there is no term that the mapped condition does not scale."""
    network = _discriminator()
    pictures = _normal(4, 8, 8, 3)
    conditions = _normal(4, CONDITION)
    for layer in network.layers:
        if isinstance(layer, modulated.EqualDense) and layer.rate != 1.0:
            layer.kernel.assign(0 * layer.kernel)
    np.testing.assert_array_equal(_array(network([pictures, conditions])), 0.0)


# Regularisers


def test_r1_equals_numerical_gradients(float64):
    network = _discriminator()
    pictures, conditions = _normal(4, 8, 8, 3), _normal(4, CONDITION)
    found = float(R1(3.0, 16)(network, [tf.constant(pictures), tf.constant(conditions)]))
    size, step = pictures.size, 1e-6
    moves = step * np.eye(size).reshape(size, *pictures.shape)
    moves = np.moveaxis(moves, 0, 1)  # [4, moves, ...]: those of one move are a group
    many = np.repeat(conditions[:, None], size, axis=1).reshape(-1, CONDITION)

    def total(sign):
        moved = (pictures[:, None] + sign * moves).reshape(-1, 8, 8, 3)
        return _array(network([moved, many])).reshape(4, size).sum(axis=0)

    gradients = (total(1) - total(-1)) / (2 * step)
    assert found == pytest.approx(3.0 / 2 * np.square(gradients).sum() / 4, rel=1e-4)


def test_r1_of_a_known_function_is_exact():
    pictures = tf.constant(_normal(4, 8, 8, 3))

    def network(inputs, training):
        return ops.sum(ops.square(inputs[0]), axis=(1, 2, 3)) * inputs[1][:, 0]

    conditions = _normal(4, 1)
    squares = np.square(2 * _array(pictures) * conditions[:, :, None, None]).sum(axis=(1, 2, 3))
    found = float(R1(3.0, 16)(network, [pictures, conditions]))
    assert found == pytest.approx(1.5 * squares.mean(), rel=1e-5)


def test_path_lengths_equal_numerical_gradients(float64):
    generator, path = _generator(), PathLength(2.0, 4)
    styles, step = _normal(3, generator.num_styles, STYLE), 1e-6
    path.seeds = keras.random.SeedGenerator(5)
    noise = _array(keras.random.normal((3, 8, 8, 3), seed=keras.random.SeedGenerator(5)))
    found = _array(path.lengths(generator.synthesis, tf.constant(styles)))
    moves = step * np.eye(styles[0].size).reshape(-1, *styles[0].shape)
    for example in range(3):
        up, down = (_array(generator.synthesis(styles[example] + s * moves)) for s in (1, -1))
        slopes = ((up - down) * noise[example]).sum(axis=(1, 2, 3)) / (2 * step) / 8
        expected = np.sqrt(np.square(slopes).sum() / generator.num_styles)
        assert found[example] == pytest.approx(expected, rel=1e-4)


def test_path_length_penalty_and_its_moving_mean():
    generator, path = _generator(mixing=0.0), PathLength(2.0, 4, decay=0.25, share=0.5)
    inputs = [_normal(6, LATENT), _normal(6, CONDITION)]
    path.seeds = keras.random.SeedGenerator(5)
    styles = generator.styles([x[:3] for x in inputs])
    lengths = _array(path.lengths(generator.synthesis, styles))
    path.mean.assign(0.1)
    path.seeds = keras.random.SeedGenerator(5)
    found = float(path(generator, inputs))
    mean = 0.1 + 0.25 * (lengths.mean() - 0.1)
    assert float(path.mean) == pytest.approx(mean, rel=1e-4)
    assert found == pytest.approx(2 * np.square(lengths - mean).mean(), rel=1e-3)


@pytest.mark.parametrize("of", ["discriminator", "generator"])
def test_regularisers_gradients_equal_numerical_ones(of, float64):
    if of == "discriminator":
        network, term = _discriminator(), R1(3.0, 16)
        inputs = [tf.constant(_normal(4, 8, 8, 3)), tf.constant(_normal(4, CONDITION))]
    else:
        network, term = _generator(mixing=0.0), PathLength(2.0, 4, decay=0.0)
        inputs = [tf.constant(_normal(4, LATENT)), tf.constant(_normal(4, CONDITION))]
    values = [variable.value for variable in network.trainable_variables]
    rng = np.random.default_rng(3)
    # A strength that is not 0 would let in noise, which is not the same twice.
    direction = [rng.standard_normal(v.shape) if v.shape.rank else np.zeros(()) for v in values]

    def loss():
        if of == "generator":
            term.seeds = keras.random.SeedGenerator(5)
        return term(network, inputs)

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        total = loss()
    gradients = tape.gradient(total, values, unconnected_gradients="zero")
    found = sum(float(ops.sum(g * d)) for g, d in zip(gradients, direction, strict=True))
    begin, step, ends = [v.numpy() for v in values], 1e-6, []
    for sign in (1, -1):
        for value, start, move in zip(values, begin, direction, strict=True):
            value.assign(start + sign * step * move)
        ends.append(float(loss()))
    assert found == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3)


# Moving average


def test_average_is_exact():
    source, copy = _generator(), _generator()
    average = WeightAverage(copy, source, half_life=30.0, ramp=0.5)
    begin = [_array(v) for v in source.trainable_variables]
    for mean, value in zip(copy.weights, source.weights, strict=True):
        np.testing.assert_array_equal(_array(mean), _array(value))
    expected = begin
    for step in range(4):
        for variable in source.trainable_variables:
            variable.assign(variable + 1.0 + step)
        source.mean_style.assign(source.mean_style + 1.0)
        average.update(source, 20)
        life = min(30.0, 0.5 * 20 * step)
        kept = 0.5 ** (20 / life) if step else 0.0
        values = [_array(v) for v in source.trainable_variables]
        expected = [kept * e + (1 - kept) * v for e, v in zip(expected, values, strict=True)]
    for mean, value in zip(copy.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(_array(mean), value, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(_array(copy.mean_style), _array(source.mean_style))


def test_average_without_ramp_halves_after_its_half_life():
    source, copy = _generator(), _generator()
    average = WeightAverage(copy, source, half_life=40.0, ramp=0.0)
    value = source.trainable_variables[0]
    before = _array(value)
    value.assign(value + 1.0)
    for _ in range(2):
        average.update(source, 20)
    np.testing.assert_allclose(_array(copy.trainable_variables[0]), before + 0.5, rtol=1e-5)


# Augmentation


def _pictures(rows=3, size=8):
    return np.tanh(_normal(rows, size, size, 3))


def test_probability_zero_changes_nothing():
    augment = AdaptiveAugmentation(augmentation.KINDS, 0.6, 4, 1000)
    np.testing.assert_allclose(_array(augment(_pictures())), _pictures(), atol=1e-5)


@pytest.mark.parametrize("kind", augmentation.KINDS)
def test_each_kind_changes_about_as_many_as_its_probability(kind):
    size, rows = 16, 300
    augment = AdaptiveAugmentation((kind,), 0.6, 4, 1000, probability=0.5)
    pictures = _pictures(rows, size)
    changes = np.abs(_array(augment(pictures)) - pictures).max(axis=(1, 2, 3))
    share = {"flip": 0.25, "turn": 0.375, "luma_flip": 0.25, "shift": 0.5 * 24 / 25}
    assert (changes > 1e-4).mean() == pytest.approx(share.get(kind, 0.5), abs=0.09)


def test_flip_and_turns_are_numpys():
    x = _pictures(1)
    flipped = augmentation.warped(x, augmentation.scaling(tf.constant([-1.0]), tf.constant([1.0])))
    np.testing.assert_allclose(_array(flipped), x[:, :, ::-1], atol=1e-6)
    for quarters in range(4):
        angle = tf.constant([-np.pi / 2 * quarters], "float32")
        turned = augmentation.warped(x, augmentation.rotation(angle))
        candidates = [np.rot90(x, k, axes=(1, 2)) for k in (quarters, -quarters)]
        assert min(np.abs(_array(turned) - c).max() for c in candidates) < 1e-4


@pytest.mark.parametrize("make", ["translation", "scaling", "rotation", "all"])
def test_warp_is_scipys_affine_transform(make):
    x, size = _pictures(2, 9), 9
    parts = {
        "translation": augmentation.translation(tf.constant([2.0, -1.3]), tf.constant([1.0, 4.6])),
        "scaling": augmentation.scaling(tf.constant([1.4, 0.7]), tf.constant([0.6, 1.1])),
        "rotation": augmentation.rotation(tf.constant([0.4, -2.0])),
    }
    product = parts["translation"] @ parts["rotation"] @ parts["scaling"]
    matrices = _array(product if make == "all" else parts[make])
    found = _array(augmentation.warped(x, matrices))
    middle = (size - 1) / 2
    for example in range(2):
        (a, b, dx), (c, d, dy) = matrices[example, :2]
        turned = np.array([[d, c], [b, a]])  # rows, that is y, first
        offset = np.array([dy, dx]) + middle - turned @ [middle, middle]
        for channel in range(3):
            expected = scipy.ndimage.affine_transform(
                x[example, :, :, channel], turned, offset, order=1, mode="mirror"
            )
            np.testing.assert_allclose(found[example, :, :, channel], expected, atol=2e-5)


def test_shift_by_whole_pixels_is_pillows_offset():
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    moved = Image.fromarray(picture).transform(
        (8, 8), Image.Transform.AFFINE, (1, 0, 2, 0, 1, -1), Image.Resampling.NEAREST
    )
    matrix = augmentation.translation(tf.constant([2.0]), tf.constant([-1.0]))
    stacked = np.repeat(picture[None, :, :, None], 3, axis=-1).astype(np.float32)
    found = _array(augmentation.warped(stacked, matrix))[0, :, :, 0]
    np.testing.assert_allclose(found[1:, :-2], np.asarray(moved)[1:, :-2], atol=1e-4)


def test_warps_gradient_is_its_adjoint():
    x = tf.constant(_pictures(2))
    matrices = augmentation.rotation(tf.constant([0.4, -2.0]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = augmentation.warped(x, matrices)
        total = ops.sum(y * _normal(2, 8, 8, 3))
    gradient = _array(tape.gradient(total, x))
    other = _pictures(2)[::-1]
    left = (_array(augmentation.warped(other, matrices)) * _normal(2, 8, 8, 3)).sum()
    assert left == pytest.approx((gradient * other).sum(), rel=1e-3)


class _Fixed(Draws):
    """Draws that are given."""

    def __init__(self, rows, **values):
        super().__init__(tuple(values), 1.0, rows, None)
        self.values = values

    def _given(self, kind, *_):
        return tf.fill((self.rows,), float(self.values.get(kind, 0.0)))

    uniform = normal = quarters = halves = _given


def test_color_is_the_product_of_its_steps():
    """Appendix B's order: brightness, contrast, luma flip, hue, saturation, on homogeneous RGB."""
    values = {"brightness": 0.7, "contrast": -1.2, "luma_flip": 1, "hue": 0.3, "saturation": 0.8}
    axis = np.array([1, 1, 1, 0]) / 3**0.5
    along = np.outer(axis, axis)
    moved = np.eye(4)
    moved[:3, 3] = 0.2 * 0.7
    contrast = 2 ** (0.5 * -1.2)
    cos, sin = np.cos(0.3 * np.pi), np.sin(0.3 * np.pi)
    u = axis[:3]
    cross = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
    turned = np.eye(4)
    turned[:3, :3] = cos * np.eye(3) + sin * cross + (1 - cos) * np.outer(u, u)
    steps = [
        moved,
        np.diag([contrast] * 3 + [1]),
        np.eye(4) - 2 * along,
        turned,
        along + (np.eye(4) - along) @ np.diag([2**0.8] * 3 + [1]),
    ]
    product = np.eye(4)
    for step in steps:
        product = step @ product
    matrix, added = augmentation.color(_Fixed(2, **values))
    x = _pictures(2)
    expected = x @ product[:3, :3].T + product[:3, 3]
    np.testing.assert_allclose(
        _array(augmentation.recolored(x, matrix, added)), expected, atol=1e-5
    )


def test_hue_turns_red_to_green():
    red = np.full((1, 2, 2, 3), [[[[1.0, -1.0, -1.0]]]], np.float32)
    found = _array(augmentation.recolored(red, *augmentation.color(_Fixed(1, hue=2 / 3))))[0, 0, 0]
    hue = colorsys.rgb_to_hsv(*np.clip(found / 2 + 0.5, 0, 1))[0]
    assert hue == pytest.approx(1 / 3, abs=1e-3)


def test_probability_follows_the_logits_of_real_pictures():
    augment = AdaptiveAugmentation(("flip",), 0.6, 2, 100)
    told = [np.float32(v) for v in ([1, 1, 1, 1], [1, 1, 1, -1], [1, -1, 1, 1], [-1, -1, -1, 1])]
    found = []
    for logits in told:  # signs sum to 6 of 8, then to 0
        augment.update(logits)
        found.append(float(augment.probability))
    np.testing.assert_allclose(found, [0, 0.08, 0.08, 0], atol=1e-6)


def test_kinds_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match="blur"):
        AdaptiveAugmentation(("flip", "blur"), 0.6, 4, 100)


# All together


def _trained(num_steps=3):
    keras.utils.set_random_seed(11)
    generator, discriminator = _generator(), _discriminator()
    model = PictureGan(
        generator,
        discriminator,
        keras.layers.Identity(),
        LATENT,
        "logistic",
        keras.optimizers.Adam(2.5e-3, 0.0, 0.99),
        generator_regularisers=[PathLength(2.0, 2)],
        discriminator_regularisers=[R1(1.0, 2)],
        augmentation=AdaptiveAugmentation(augmentation.KINDS, 0.6, 1, 100, probability=0.3),
        average=WeightAverage(_generator(), generator, 100.0, 0.05),
    )
    model.compile(keras.optimizers.Adam(2.5e-3, 0.0, 0.99))
    model.run_eagerly = True  # compiling takes longer than what is tested
    batch = (_pictures(4), _normal(4, CONDITION), np.ones(4, np.float32))
    batches = tf.data.Dataset.from_tensors(batch).repeat(num_steps)
    model.fit(batches, epochs=1, verbose=0)
    return model


def test_training_is_finite_moves_all_and_is_deterministic():
    first, second = _trained(), _trained()
    for name in ("generator", "discriminator", "average"):
        pairs = zip(getattr(first, name).weights, getattr(second, name).weights, strict=True)
        for a, b in pairs:
            assert np.isfinite(_array(a)).all()
            np.testing.assert_array_equal(_array(a), _array(b))
    keras.utils.set_random_seed(11)
    begun = _generator()
    moved = [
        not np.array_equal(_array(a), _array(b))
        for a, b in zip(begun.trainable_variables, first.generator.trainable_variables, strict=True)
    ]
    assert all(moved)
    assert float(first.augmentation.probability) != 0.3
    assert float(first.generator_regularisers[0].mean) > 0
    assert _array(first([_normal(2, LATENT), _normal(2, CONDITION)])).shape == (2, 8, 8, 3)
