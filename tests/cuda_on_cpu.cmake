# The kernels of ops/cuda, compiled for the CPU through the shim (decision 0041): a library for tests, and a stand-in for
# the CUDA runtime.
include(CheckCSourceRuns)
check_c_source_runs("int main(void) { __builtin_cpu_init(); return !(__builtin_cpu_supports(\"fma\") && __builtin_cpu_supports(\"avx2\")); }"
  PAWL_HAVE_FMA)
set(shim_flags -include ${CMAKE_CURRENT_SOURCE_DIR}/cuda_on_cpu/shim_cuda.h -std=gnu++17 -O2 -ffp-contract=off -fno-strict-aliasing
  -Wall -Wextra -Wshadow $<$<BOOL:${PAWL_WERROR}>:-Werror>)
if(PAWL_HAVE_FMA)
  list(APPEND shim_flags -mavx2 -mfma)
endif()

function(pawl_on_cpu name)
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${shim_flags}")
  target_sources(${name} PRIVATE ${ARGN})
endfunction()

file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/cuda/*.cu)
add_library(pawl_cuda_on_cpu STATIC cuda_on_cpu/shim.c cuda_on_cpu/fiber.c)
target_link_libraries(pawl_cuda_on_cpu PUBLIC pawl_common) # and pawl_core, of whoever links it
set_target_properties(pawl_cuda_on_cpu PROPERTIES POSITION_INDEPENDENT_CODE ON)
pawl_on_cpu(pawl_cuda_on_cpu ${kernels})

file(GLOB cases CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cuda_on_cpu/test_*.c)
pawl_program(test_cuda_kernels SOURCES ${cases} cuda_on_cpu/kernel_check.c LIBS pawl_cuda_on_cpu PkgConfig::CMOCKA)
pawl_on_cpu(test_cuda_kernels ${CMAKE_CURRENT_SOURCE_DIR}/cuda_on_cpu/models.cu)
add_dependencies(c_tests test_cuda_kernels)
add_test(NAME test_cuda_kernels COMMAND test_cuda_kernels)
set_tests_properties(test_cuda_kernels PROPERTIES ENVIRONMENT "${PAWL_TEST_ENV}" TIMEOUT 300 COST 40)

pawl_script(nvcc_kernels 600 ${PROJECT_SOURCE_DIR}/tests/nvcc_kernels.sh)
set_tests_properties(nvcc_kernels PROPERTIES SKIP_RETURN_CODE 77 PROCESSORS 2)
pawl_script(nvcc_kernels_each 1200 ${PROJECT_SOURCE_DIR}/tests/nvcc_kernels.sh 80 90)
set_tests_properties(nvcc_kernels_each PROPERTIES SKIP_RETURN_CODE 77 PROCESSORS 2 LABELS long)
