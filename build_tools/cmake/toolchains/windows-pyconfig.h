/* pyconfig.h for extensions that a MinGW-like compiler builds for CPython on 64-bit Windows.
 *
 * CPython's own one is written for MSVC: its MS_WIN64, and with it the size of a pointer, depends on _MSC_VER, and
 * without it an extension compiles silently against other structures. What CPython's public headers ask of
 * pyconfig.h, from 3.10 on, is stated here, and what can be checked is.
 */
#ifndef ONNXFORGE_WINDOWS_PYCONFIG_H
#define ONNXFORGE_WINDOWS_PYCONFIG_H

#define MS_WINDOWS 1
#define MS_WIN32 1
#define MS_WIN64 1

/* Python is a DLL: its functions and data are imported, the module's PyInit function is exported. */
#define Py_ENABLE_SHARED 1
#define HAVE_DECLSPEC_DLL 1

#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_WCHAR_T 2
#define SIZEOF_FLOAT 4
#define SIZEOF_DOUBLE 8
#define SIZEOF_TIME_T 8
#define SIZEOF_PID_T 4
#define ALIGNOF_SIZE_T 8
/* As python.exe was compiled, which is what structures shared with it are laid out for. */
#define ALIGNOF_MAX_ALIGN_T 8

#define HAVE_LONG_LONG 1
#define HAVE_WCHAR_H 1
#define HAVE_STDDEF_H 1
#define HAVE_ERRNO_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_COPYSIGN 1
#define HAVE_HYPOT 1
#define HAVE_ROUND 1
#define HAVE_DECL_ISFINITE 1
#define HAVE_DECL_ISINF 1
#define HAVE_DECL_ISNAN 1
#define HAVE_THREAD_LOCAL 1
#define WITH_DOC_STRINGS 1
#define WITH_THREAD 1
#define NT_THREADS 1

#ifdef __cplusplus
static_assert(sizeof(void*) == SIZEOF_VOID_P && sizeof(long) == SIZEOF_LONG && sizeof(wchar_t) == SIZEOF_WCHAR_T,
              "not the data model of 64-bit Windows");
#endif

#endif
