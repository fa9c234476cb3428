# The decoder against reference implementations.
pawl_program(parity SOURCES parity.c)
pawl_loads_parts(parity)
file(GLOB hf_fixtures ${CMAKE_CURRENT_SOURCE_DIR}/fixtures/hf/*/expected.json)
list(TRANSFORM hf_fixtures REPLACE "/expected.json$" "")
pawl_script(parity 120 $<TARGET_FILE:parity> ${hf_fixtures})
pawl_program(parity_apart SOURCES parity.c e2e/apart_memory.c) # the same on a device whose memory the host cannot touch
target_link_options(parity_apart PRIVATE -Wl,--wrap=pawl_device_open_cpu -rdynamic)
pawl_script(parity_apart 120 $<TARGET_FILE:parity_apart> ${hf_fixtures})
pawl_script(parity_bf16 120 $<TARGET_FILE:parity> --bf16 ${hf_fixtures})
# The same on the CUDA backend, on stand-ins for NVIDIA's libraries (decision 0042), which are slow: some of the smallest alone.
function(pawl_parity_standin name)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/fixtures/hf/ REGEX "^[a-z]" OUTPUT_VARIABLE words)
  pawl_script(${name} 120 ${CMAKE_COMMAND} -E env PAWL_TEST_DEVICE=cuda PAWL_CUDA_PART=$<TARGET_FILE:pawl_cuda_standin> $<TARGET_FILE:parity> ${words})
endfunction()
pawl_parity_standin(parity_standin lora-qwen3 lora-gpt2-dora llama-biases)
pawl_parity_standin(parity_standin_bf16 --bf16 lora-mistral gpt2-gelu)
