/* The end of what vectors.h and layers.h define for one instruction set. */

#undef THIS
#undef TARGET
#undef V
#undef NV
#undef CELLS
#undef MOST_PANELS
#undef ZERO
#undef LOAD
#undef SPREAD
#undef DOT
#undef AVX512
#undef ADD32
#undef SPREAD32
#undef MAX32
#undef SHR
#undef ADDS16
#undef STORE
#undef ZIPLO
#undef ZIPHI
#undef NARROW
#undef ARGUMENTS
