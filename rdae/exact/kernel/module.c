/* The Python module of the kernel. Limited API: one build serves all Pythons from 3.10 on.

   Arrays come as addresses; `rdae.exact.kernel` owns and checks them. The GIL is released. */

#define Py_LIMITED_API 0x030A0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernel.h"

typedef unsigned long long Address;
/* The layouts that the Python side writes; another processor has no kernel instead of a wrong one. */
_Static_assert(sizeof(Op) == 64 && sizeof(Grid) == 24 && sizeof(Coder) == 40 && sizeof(Writer) == 32 &&
                   sizeof(Family) == 48 && sizeof(Run) == 20 && sizeof(Colour) == 48,
               "layout");

#define AT(type, address) ((type *)(uintptr_t)(address))

static PyObject *sets(PyObject *self, PyObject *none) {
    PyObject *names = PyList_New(0);
    (void)self, (void)none;
    for (int i = 0; names && kernel_name(i); i++) {
        PyObject *item;
        if (!kernel_runnable(kernel_name(i))) continue;
        item = PyUnicode_FromString(kernel_name(i));
        if (!item || PyList_Append(names, item)) Py_CLEAR(names);
        Py_XDECREF(item);
    }
    return names;
}

static PyObject *select_set(PyObject *self, PyObject *args) {
    const char *name;
    (void)self;
    if (!PyArg_ParseTuple(args, "s", &name)) return NULL;
    return PyBool_FromLong(kernel_select(name));
}

static PyObject *scratch_size(PyObject *self, PyObject *args) {
    int widest;
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &widest)) return NULL;
    return PyLong_FromLongLong(kernel_scratch_size(widest));
}

static PyObject *pack(PyObject *self, PyObject *args) {
    Address weights, packed;
    int inputs, outputs;
    (void)self;
    if (!PyArg_ParseTuple(args, "KiiK", &weights, &inputs, &outputs, &packed)) return NULL;
    kernel_pack(AT(const int16_t, weights), inputs, outputs, AT(int16_t, packed));
    Py_RETURN_NONE;
}

static PyObject *stage(PyObject *self, PyObject *args) {
    Address ops, grids, scratch;
    int count, top, bottom, left, right;
    (void)self;
    if (!PyArg_ParseTuple(args, "KiKiiiiK", &ops, &count, &grids, &top, &bottom, &left, &right, &scratch))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    kernel_stage(AT(const Op, ops), count, AT(const Grid, grids), top, bottom, left, right,
                 AT(int16_t, scratch));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *begin(PyObject *self, PyObject *args) {
    Address coder, words;
    long long count;
    (void)self;
    if (!PyArg_ParseTuple(args, "KKL", &coder, &words, &count)) return NULL;
    coder_begin(AT(Coder, coder), AT(const uint32_t, words), count);
    Py_RETURN_NONE;
}

static PyObject *decode(PyObject *self, PyObject *args) {
    Address coder, family, counts, entries;
    long long decoded;
    (void)self;
    if (!PyArg_ParseTuple(args, "KKKK", &coder, &family, &counts, &entries)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    decoded = coder_decode(AT(Coder, coder), AT(const Family, family), AT(const int64_t, counts),
                           AT(int32_t, entries));
    Py_END_ALLOW_THREADS
    return PyLong_FromLongLong(decoded);
}

static PyObject *decode_group(PyObject *self, PyObject *args) {
    Address coder, family, indexes, limits, counts, next, order, symbols;
    long long count;
    int outcome;
    (void)self;
    if (!PyArg_ParseTuple(args, "KKKKLKKKK", &coder, &family, &indexes, &limits, &count, &counts, &next, &order,
                          &symbols))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    outcome = coder_group(AT(Coder, coder), AT(const Family, family), AT(const uint16_t, indexes),
                          AT(const int16_t, limits), count, AT(int64_t, counts), AT(int32_t, next),
                          AT(int32_t, order), AT(int32_t, symbols));
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(outcome);
}

static PyObject *begin_writing(PyObject *self, PyObject *args) {
    Address writer;
    (void)self;
    if (!PyArg_ParseTuple(args, "K", &writer)) return NULL;
    writer_begin(AT(Writer, writer));
    Py_RETURN_NONE;
}

static PyObject *encode(PyObject *self, PyObject *args) {
    Address writer, family, which, counts, entries, limits;
    int runs, bad;
    (void)self;
    if (!PyArg_ParseTuple(args, "KKiKKKK", &writer, &family, &runs, &which, &counts, &entries, &limits)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    bad = writer_encode(AT(Writer, writer), AT(const Family, family), runs, AT(const int32_t, which),
                        AT(const int64_t, counts), AT(const int32_t, entries), AT(const int16_t, limits));
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(!bad);
}

static PyObject *end_writing(PyObject *self, PyObject *args) {
    Address writer;
    (void)self;
    if (!PyArg_ParseTuple(args, "K", &writer)) return NULL;
    writer_end(AT(Writer, writer));
    Py_RETURN_NONE;
}

static PyObject *indexes(PyObject *self, PyObject *args) {
    Address heads, offset, out;
    long long row, cell;
    int rows, columns, group, bits;
    (void)self;
    if (!PyArg_ParseTuple(args, "KLLiiiKiK", &heads, &row, &cell, &rows, &columns, &group, &offset, &bits, &out))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    quarter_indexes((Grid){AT(void, heads), row, cell}, rows, columns, group, AT(const int16_t, offset), bits,
                    AT(uint8_t, out));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *dequantise(PyObject *self, PyObject *args) {
    Address means, symbols, step, y_hat;
    long long row, cell;
    int rows, columns, group, shift, mean_bits;
    (void)self;
    if (!PyArg_ParseTuple(args, "KLLiiiKKiiK", &means, &row, &cell, &rows, &columns, &group, &symbols, &step,
                          &shift, &mean_bits, &y_hat))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    quarter_dequantise((Grid){AT(void, means), row, cell}, rows, columns, group, AT(const int32_t, symbols),
                       AT(const int32_t, step), shift, mean_bits, AT(int16_t, y_hat));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *quantise(PyObject *self, PyObject *args) {
    Address y, means, unit, gain, given, zones, symbols;
    long long y_row, y_cell, row, cell;
    int rows, columns, group, reach;
    (void)self;
    if (!PyArg_ParseTuple(args, "KLLKLLiiiKKKKiK", &y, &y_row, &y_cell, &means, &row, &cell, &rows, &columns,
                          &group, &unit, &gain, &given, &zones, &reach, &symbols))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    quarter_quantise((Grid){AT(void, y), y_row, y_cell}, (Grid){AT(void, means), row, cell}, rows, columns,
                     group, AT(const float, unit), AT(const float, gain), AT(const uint8_t, given),
                     AT(const float, zones), reach, AT(int32_t, symbols));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *group(PyObject *self, PyObject *args) {
    Address indexes, counts, next, order;
    long long count;
    int tables, is_sound;
    (void)self;
    if (!PyArg_ParseTuple(args, "KLiKKK", &indexes, &count, &tables, &counts, &next, &order)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    is_sound = group_by_table(AT(const uint16_t, indexes), count, tables, AT(int64_t, counts), AT(int32_t, next),
                              AT(int32_t, order));
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(is_sound);
}

static PyObject *predict(PyObject *self, PyObject *args) {
    Address colour, grids, means, scales, indexes;
    int rows, columns;
    (void)self;
    if (!PyArg_ParseTuple(args, "KKiiKKK", &colour, &grids, &rows, &columns, &means, &scales, &indexes)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    const Grid *g = AT(const Grid, grids);
    level_predict(AT(const Colour, colour), g[0], g[1], g[2], g[3], g[4], rows, columns, AT(int16_t, means),
                  AT(uint8_t, scales), AT(uint16_t, indexes));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *settle(PyObject *self, PyObject *args) {
    Address colour, grids, pixels, means, scales, inverse;
    long long row, cell;
    int rows, columns, across;
    (void)self;
    if (!PyArg_ParseTuple(args, "KKKLLiiiKKK", &colour, &grids, &pixels, &row, &cell, &rows, &columns, &across,
                          &means, &scales, &inverse))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    const Grid *g = AT(const Grid, grids);
    level_settle(AT(const Colour, colour), AT(const uint8_t, pixels), row, cell, rows, columns, across,
                 AT(const int16_t, means), AT(const uint8_t, scales), AT(const int32_t, inverse), g[0], g[1], g[2]);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *restore(PyObject *self, PyObject *args) {
    Address bins, means, pixels;
    long long row, cell;
    int rows, columns, across, width, beyond, is_sound;
    (void)self;
    if (!PyArg_ParseTuple(args, "KKiiiiiKLL", &bins, &means, &rows, &columns, &across, &width, &beyond, &pixels,
                          &row, &cell))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    is_sound = level_restore(AT(const int32_t, bins), AT(const int16_t, means), rows, columns, across, width,
                             beyond, AT(uint8_t, pixels), row, cell);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(is_sound);
}

static PyMethodDef METHODS[] = {
    {"sets", sets, METH_NOARGS, "Names of the instruction sets that this processor runs, best last."},
    {"select", select_set, METH_VARARGS, "Use an instruction set; whether that can be."},
    {"scratch_size", scratch_size, METH_VARARGS, "int16 values of scratch that a stage needs."},
    {"pack", pack, METH_VARARGS, "Pack the weights of a linear layer."},
    {"stage", stage, METH_VARARGS, "Run a stage on a part of its grids."},
    {"begin", begin, METH_VARARGS, "Begin to decode a stream."},
    {"decode", decode, METH_VARARGS, "Decode the entries of a stream that was cut off; how many there were."},
    {"decode_group", decode_group, METH_VARARGS, "Decode the symbols of a group; 1 if they are sound."},
    {"begin_writing", begin_writing, METH_VARARGS, "Begin to encode a stream."},
    {"encode", encode, METH_VARARGS, "Encode entries; whether all have a place in their tables."},
    {"end_writing", end_writing, METH_VARARGS, "Write the last word of a stream."},
    {"indexes", indexes, METH_VARARGS, "Tables of a quarter of the latents."},
    {"dequantise", dequantise, METH_VARARGS, "y_hat of a quarter of the latents."},
    {"quantise", quantise, METH_VARARGS, "Symbols of a quarter of the latents."},
    {"group", group, METH_VARARGS, "The order of symbols by their tables, and how many each has."},
    {"predict", predict, METH_VARARGS, "Means, scales and tables of a colour of a lossless pass."},
    {"settle", settle, METH_VARARGS, "What the next colours see of a colour's pixels."},
    {"restore", restore, METH_VARARGS, "Pixels from bins around means; whether all can be."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_kernel", NULL, -1, METHODS, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModule_Create(&MODULE); }
