#include <stdint.h>

/* Of the functions' signatures, as recollect/native/__init__.py has it. */
int64_t native_version(void) { return 1; }
